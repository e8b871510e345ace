"""From outcomes to a verdict: decisions, terms, slices, comparisons and waivers."""
