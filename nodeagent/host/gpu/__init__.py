"""Registers of NVIDIA devices, by family."""
