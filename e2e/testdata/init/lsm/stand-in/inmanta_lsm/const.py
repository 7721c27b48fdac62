ENV_NO_INSTANCES = "lsm_no_instances"
