"""Benchmarks: ratios and figures against stated targets, with their conditions."""
