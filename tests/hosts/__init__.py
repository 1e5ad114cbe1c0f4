"""Hosts as plain files: what nodeagent reads, one directory for each machine."""
