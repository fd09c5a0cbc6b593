//! Statements, verdicts and translations.

use super::expression::{Expression, Register, bitwise, immediate, load, load_key, lookup};
use crate::Family;
use crate::nft::{
    Action, Masked, NatFlags, NewMark, Statement, Translation,
    field::{Field, nfproto},
    key::Datum,
    kind,
};

pub(super) fn statement(statement: &Statement) -> Vec<Expression> {
    match statement {
        Statement::Counter => vec![Expression::new("counter")],
        Statement::Log(prefix) => vec![Expression::new("log").text(kind::log::PREFIX, prefix)],
        Statement::AddFlow(flowtable) => {
            vec![Expression::new("flow_offload").text(kind::offload::FLOWTABLE, flowtable)]
        }
        Statement::SetMark(mark) => {
            let set = Expression::new("meta")
                .number(kind::meta::KEY, kind::meta::MARK)
                .register(kind::meta::FROM, Register::FIRST);
            set_mark(Field::Mark, *mark, set)
        }
        Statement::SetConntrackMark(mark) => {
            let set = Expression::new("ct")
                .number(kind::conntrack::KEY, kind::conntrack::MARK)
                .register(kind::conntrack::FROM, Register::FIRST);
            set_mark(Field::ConntrackMark, *mark, set)
        }
    }
}

fn set_mark(field: Field, mark: NewMark, set: Expression) -> Vec<Expression> {
    let load_mark = |field: Field| load(field.origin(), 4, Register::FIRST);
    let bytes = |number: u32| number.to_ne_bytes().to_vec();
    let mut expressions = match mark {
        NewMark::Value(Masked {
            value,
            mask: u32::MAX,
        }) => vec![immediate(bytes(value), Register::FIRST)],
        NewMark::Value(Masked { value, mask }) => {
            vec![load_mark(field), bitwise(bytes(!mask), bytes(value))]
        }
        NewMark::Packet => vec![load_mark(Field::Mark)],
        NewMark::Conntrack => vec![load_mark(Field::ConntrackMark)],
    };
    expressions.push(set);
    expressions
}

pub(super) fn action(action: &Action) -> Vec<Expression> {
    match action {
        Action::Verdict(verdict) => vec![
            Expression::new("immediate")
                .register(kind::immediate::TO, Register::VERDICT)
                .verdict(kind::immediate::DATA, verdict),
        ],
        Action::VerdictOf(key, map) => {
            let mut expressions = load_key(key);
            expressions.push(lookup(map).register(kind::lookup::TO, Register::VERDICT));
            expressions
        }
        Action::Masquerade(flags) => vec![with_flags(
            Expression::new("masq"),
            kind::nat::MASQUERADE_FLAGS,
            *flags,
        )],
        Action::Redirect(port, flags) => redirect(*port, *flags),
        Action::Dnat(to, flags) => translate(kind::nat::DESTINATION, to, *flags),
        Action::Snat(to, flags) => translate(kind::nat::SOURCE, to, *flags),
    }
}

/// The family that must be certain before what an action looks up is read.
pub(super) fn family(action: &Action) -> Option<Family> {
    match action {
        Action::VerdictOf(key, _)
        | Action::Dnat(Translation::Of { key, .. }, _)
        | Action::Snat(Translation::Of { key, .. }, _) => {
            key.iter().find_map(|field| field.family())
        }
        _ => None,
    }
}

fn with_flags(expression: Expression, attribute: u16, flags: NatFlags) -> Expression {
    match flags.number() {
        0 => expression,
        number => expression.number(attribute, number),
    }
}

fn redirect(port: Option<u16>, flags: NatFlags) -> Vec<Expression> {
    let redirect = Expression::new("redir");
    let Some(port) = port else {
        return vec![with_flags(redirect, kind::nat::REDIRECT_FLAGS, flags)];
    };
    let redirect = redirect.register(kind::nat::REDIRECT_PORT, Register::FIRST);
    vec![
        immediate(Datum::Port(port).bytes(), Register::FIRST),
        with_flags(redirect, kind::nat::REDIRECT_FLAGS, flags),
    ]
}

fn translate(kind_of_nat: u32, to: &Translation, flags: NatFlags) -> Vec<Expression> {
    let (mut expressions, family, port) = match to {
        Translation::To(address, port) => fixed(*address, *port),
        Translation::Of {
            key,
            map,
            family,
            with_port,
        } => {
            let mut expressions = load_key(key);
            expressions.push(lookup(map).register(kind::lookup::TO, Register::FIRST));
            let port = with_port.then(|| Register::behind(family.address_length()));
            (expressions, *family, port)
        }
    };
    let mut nat = Expression::new("nat")
        .number(kind::nat::TYPE, kind_of_nat)
        .number(kind::nat::FAMILY, nfproto(family).into())
        .register(kind::nat::ADDRESS, Register::FIRST);
    if let Some(port) = port {
        nat = nat.register(kind::nat::PORT, port);
    }
    expressions.push(with_flags(nat, kind::nat::FLAGS, flags));
    expressions
}

/// The address, and in the next register the port.
fn fixed(
    address: std::net::IpAddr,
    port: Option<u16>,
) -> (Vec<Expression>, Family, Option<Register>) {
    const SECOND: Register = Register(2);
    let mut expressions = vec![immediate(Datum::Address(address).bytes(), Register::FIRST)];
    expressions.extend(port.map(|port| immediate(Datum::Port(port).bytes(), SECOND)));
    (expressions, address.into(), port.map(|_| SECOND))
}
