"""flowdsl on etcd: leases for roles."""
