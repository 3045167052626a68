"""What people do for and in communities, as XRPC methods: memberships, roles and decisions."""
