//! bridge: VLAN configurations that must be refused, whatever the kernel can do.

use crate::cases::{bridge::BRIDGE, prelude::*, sight::*};

refused!(BRIDGE, "bridge/vlan/01", "A vlan above 4094 is refused and named.",
    { "vlan": 4095 }, ["4095", "VLAN ID"]);

refused!(BRIDGE, "bridge/vlan/02", "A negative vlan is refused.",
    { "vlan": -1 }, ["-1"]);

refused!(BRIDGE, "bridge/vlan-trunk/01", "A trunk id above 4094 is refused.",
    { "vlanTrunk": [{ "id": 4095 }] }, ["trunk id"]);

refused!(BRIDGE, "bridge/vlan-trunk/02", "A trunk id of 0 is refused.",
    { "vlanTrunk": [{ "id": 0 }] }, ["trunk id"]);

refused!(BRIDGE, "bridge/vlan-trunk/03", "A trunk with minID and no maxID is refused.",
    { "vlanTrunk": [{ "minID": 5 }] }, ["maxID is missing"]);

refused!(BRIDGE, "bridge/vlan-trunk/04", "A trunk with maxID and no minID is refused.",
    { "vlanTrunk": [{ "maxID": 5 }] }, ["minID is missing"]);

refused!(BRIDGE, "bridge/vlan-trunk/05", "A trunk whose minID is greater than its maxID is refused.",
    { "vlanTrunk": [{ "minID": 7, "maxID": 5 }] }, ["minID is greater than maxID"]);

refused!(BRIDGE, "bridge/vlan-trunk/06", "A trunk whose maxID is above 4094 is refused.",
    { "vlanTrunk": [{ "minID": 7, "maxID": 4095 }] }, ["maxID"]);
