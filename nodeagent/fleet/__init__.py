"""Many nodes at once: how each stands, what to fix first, and what of ours is on one."""
