"""Datasets by source: digits, idx, npz, folder and tables."""
