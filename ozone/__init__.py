"""The moderation API (`tools.ozone.*`), by which the Ozone web UI works: who moderates for a labeler, and with what."""
