"""The last blessed model where no ML Metadata can be asked: a file beside the pushed versions."""
