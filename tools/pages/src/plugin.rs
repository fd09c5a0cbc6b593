//! Manual pages of the plugins' configurations, section 7.
use roff::{Roff, bold, roman};

use crate::{
    Page, man,
    told::{Key, Plugin, Told},
};

/// `podwire-PLUGIN(7)`
pub(crate) fn page(told: &Told, plugin: &Plugin) -> anyhow::Result<Page> {
    let name = format!("{}-{}", told.name, plugin.name);
    let mut roff = Roff::new();
    let source = format!("{} {}", told.name, told.version);
    let date = man::date()?;
    roff.control("TH", [&*name, "7", &*date, &*source, "podwire"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", plugin.about))]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([
        roman("The CNI plugin "),
        bold(plugin.name.clone()),
        roman(format!(
            " for the versions {} of the CNI specification. Its configuration stands in a network \
             configuration list, most often a file in /etc/cni/net.d.",
            plugin.versions.join(", ")
        )),
    ]);
    let (common, own): (Vec<&Key>, Vec<&Key>) = plugin.keys.iter().partition(|key| key.common);
    section(&mut roff, "KEYS", &own);
    section(&mut roff, "KEYS OF EVERY PLUGIN", &common);
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    roff.text([roman(plugin.example.trim_end())]);
    roff.control("fi", []);
    let pages = format!("{0}(1), {0}-validate(1), {0}-schema(1)", told.name);
    man::see_also(&mut roff, &pages);
    Ok(Page {
        path: format!("man/man7/{name}.7"),
        text: roff.to_roff().into_bytes(),
    })
}

fn section(roff: &mut Roff, heading: &str, keys: &[&Key]) {
    if keys.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for key in keys {
        roff.control("TP", []);
        roff.text([bold(key.path.clone()), roman(format!(": {}", key.facts))]);
        roff.text([roman(key.about.clone())]);
    }
}
