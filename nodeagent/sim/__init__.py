"""A machine with physics: GPUs and switches that boot, remember knobs, and fail as asked.

Written from gpu-cc.md alone, and shares no code with what drives real devices, so that neither
can hide the other's mistake; NVIDIA's own tool is the judge between them.
"""
