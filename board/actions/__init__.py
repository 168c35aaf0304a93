"""Actions on the board: the API and the forms by which people change incidents, maintenance, contracts and credits."""
