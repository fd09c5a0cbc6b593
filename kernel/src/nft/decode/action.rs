//! Statements, verdicts and translations.

use super::{Reading, find_number, find_value, find_verdict, registers::Content};
use crate::Family;
use crate::nft::{
    Action, KeyType, Masked, NatFlags, NewMark, Statement, Translation,
    attribute::{find, text},
    field::{Field, Origin, nfproto},
    key::Datum,
    kind,
};

impl<'a> Reading<'a> {
    /// A verdict, or a constant for a later expression.
    pub(super) fn immediate(&mut self, data: &'a [u8]) -> Option<()> {
        if let Some(verdict) = find_verdict(data, kind::immediate::DATA) {
            return self.set_action(verdict.into());
        }
        let to = find_number(data, kind::immediate::TO)?;
        let value = find_value(data, kind::immediate::DATA)?;
        self.registers.put(to, Content::Bytes(value))
    }

    pub(super) fn statement(&mut self, name: &str, data: &'a [u8]) -> Option<()> {
        let statement = match name {
            "counter" => Statement::Counter,
            "log" => {
                let prefix = find(data, kind::log::PREFIX).and_then(text);
                Statement::Log(prefix.unwrap_or_default().to_owned())
            }
            "flow_offload" => {
                let flowtable = find(data, kind::offload::FLOWTABLE).and_then(text)?;
                Statement::AddFlow(flowtable.to_owned())
            }
            "meta" if find_number(data, kind::meta::KEY)? == kind::meta::MARK => {
                let from = find_number(data, kind::meta::FROM)?;
                Statement::SetMark(self.new_mark(Field::Mark, from)?)
            }
            "ct" if find_number(data, kind::conntrack::KEY)? == kind::conntrack::MARK => {
                let from = find_number(data, kind::conntrack::FROM)?;
                Statement::SetConntrackMark(self.new_mark(Field::ConntrackMark, from)?)
            }
            _ => return None,
        };
        self.content.statements.push(statement);
        Some(())
    }

    fn new_mark(&self, field: Field, from: u32) -> Option<NewMark> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
        let of = |origin: Origin| Field::at(origin).filter(|found| *found == field);
        match self.registers.get(from)? {
            Content::Bytes(value) => Some(NewMark::Value(Masked::exactly(number(value)?))),
            Content::Loaded(origin, Some((kept, value))) => {
                of(origin)?;
                Some(NewMark::Value(Masked {
                    value: number(value)?,
                    mask: !number(kept)?,
                }))
            }
            Content::Loaded(origin, None) => match Field::at(origin)? {
                Field::Mark => Some(NewMark::Packet),
                Field::ConntrackMark => Some(NewMark::Conntrack),
                _ => None,
            },
            Content::Mapped(_) | Content::Ordered(_) => None,
        }
    }

    pub(super) fn translation(&mut self, name: &str, data: &'a [u8]) -> Option<()> {
        let flags = |kind| NatFlags::read(find_number(data, kind).unwrap_or_default());
        let action = match name {
            "masq" => Action::Masquerade(flags(kind::nat::MASQUERADE_FLAGS)),
            "redir" => {
                let port = match find_number(data, kind::nat::REDIRECT_PORT) {
                    Some(register) => Some(self.port(register)?),
                    None => None,
                };
                Action::Redirect(port, flags(kind::nat::REDIRECT_FLAGS))
            }
            "nat" => {
                let (to, flags) = (self.target(data)?, flags(kind::nat::FLAGS));
                match find_number(data, kind::nat::TYPE)? {
                    kind::nat::SOURCE => Action::Snat(to, flags),
                    kind::nat::DESTINATION => Action::Dnat(to, flags),
                    _ => return None,
                }
            }
            _ => return None,
        };
        self.set_action(action)
    }

    fn target(&self, data: &[u8]) -> Option<Translation> {
        let number = find_number(data, kind::nat::FAMILY)?;
        let family = Family::ALL
            .into_iter()
            .find(|family| u32::from(nfproto(*family)) == number)?;
        let port = find_number(data, kind::nat::PORT);
        match self.registers.get(find_number(data, kind::nat::ADDRESS)?)? {
            Content::Bytes(bytes) => {
                let Datum::Address(address) = Datum::read(KeyType::Address(family), bytes)? else {
                    return None;
                };
                let port = match port {
                    Some(register) => Some(self.port(register)?),
                    None => None,
                };
                Some(Translation::To(address, port))
            }
            Content::Mapped(map) => Some(Translation::Of {
                key: self.registers.key.clone(),
                map: map.to_owned(),
                family,
                with_port: port.is_some(),
            }),
            Content::Loaded(..) | Content::Ordered(_) => None,
        }
    }

    fn port(&self, register: u32) -> Option<u16> {
        match self.registers.get(register)? {
            Content::Bytes(bytes) => Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?)),
            _ => None,
        }
    }
}
