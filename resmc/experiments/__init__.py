"""Experiments that run simulations of their own: `regime` compares depths of one network; `limit` finds the equation
that a network tends to as its depth grows, and simulates it (`depth_limit`, `ode_limit`, `trend_limit`); `frontier` and
`quadratic_variation` measure how steps add up over the depth; `ode` sets networks beside ordinary equations."""
