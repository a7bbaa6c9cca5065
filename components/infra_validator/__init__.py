"""InfraValidator: a real server answers real requests before anybody else is served."""
