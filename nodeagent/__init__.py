"""nodeagent: says whether a node can run confidential GPU VMs, and tells the scheduler."""

__version__ = "0.1.0"
