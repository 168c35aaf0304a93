"""The AsyncAPI document of the public topics and its rendering."""
