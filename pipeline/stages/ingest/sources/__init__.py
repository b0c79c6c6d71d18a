"""Readers, one module a published layout."""
