"""The `social.communities.*` schemas, as package data: JSON files in folders by NSID."""
