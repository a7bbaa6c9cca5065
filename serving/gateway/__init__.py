"""The prediction API: what stands between users and the model server. Imports no TensorFlow."""
