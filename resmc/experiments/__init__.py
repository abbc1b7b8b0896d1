"""Questions that simulate: `regime` (several depths of one network) and `depth_limit` (an equation: `euler` solves it)."""
