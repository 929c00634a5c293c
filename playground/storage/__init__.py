"""Files of the data folder: paths, settings, endpoints, drafts, credentials, window slots."""
