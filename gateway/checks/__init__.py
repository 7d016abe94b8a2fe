"""What may be wrong with the settings and the servers, one check each: a start and `gateway doctor` run the same."""
