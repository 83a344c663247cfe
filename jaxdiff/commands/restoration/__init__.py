"""Restoration over folders by one unconditional model."""
