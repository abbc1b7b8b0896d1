"""Questions that simulate: `regime` (several depths of one network), `depth_limit` (an equation; `euler` solves it)."""
