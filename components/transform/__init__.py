"""Transform: raw examples to pixels and label ids, through `transform.preprocessing`."""
