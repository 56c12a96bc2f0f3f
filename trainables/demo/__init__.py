"""Two small networks, and weights for them that were trained on rendered characters."""

from trainables.demo.nets import large, small

__all__ = ["large", "small"]
