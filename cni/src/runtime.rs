//! The runtime's side, as libcni does it (cni-compat 2): conflists, chains, result cache, GC, STATUS.
