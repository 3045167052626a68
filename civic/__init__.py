"""People join, leave and look after communities: the methods `social.communities.*`, over the rows."""
