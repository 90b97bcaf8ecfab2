"""Limner turns a conversation into pictures and says which of your words are in them.

Importing the package is cheap: neither torch nor transformers is loaded until a model is needed.
"""

__version__ = "0.1.0"
