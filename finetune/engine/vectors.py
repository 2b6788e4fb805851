"""Lengths and directions of vectors."""

from __future__ import annotations

import numpy as np


def unit(X: np.ndarray) -> np.ndarray:
    """Return the rows divided by their length; rows of length 0 stay 0."""
    return X * inverse_of(np.sqrt(np.einsum("ij,ij->i", X, X)))[:, None]


def inverse_of(norms: np.ndarray) -> np.ndarray:
    """Return 1 / norms, 0 where a norm is 0."""
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
