"""NVIDIA's own tool against our model: unmodified, but for where its map of BARs leads."""
