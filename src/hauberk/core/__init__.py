"""The nouns that every stage shares. Importing this package loads no torch."""
