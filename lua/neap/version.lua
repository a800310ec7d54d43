--- The version of the runtime; the same as neap_version().
return "0.1.0"
