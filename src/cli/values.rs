//! What the values of settings may be, and what is said to those that are not.

use std::{net::SocketAddr, ops::RangeInclusive, str::FromStr};

use crate::config::SettingError;

/// A whole number within a range.
pub fn number<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("it takes a whole number from {} to {}", range.start(), range.end()))
    }
}

/// The most seconds that a time may have: a day.
pub const DAY: u64 = 86_400;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address; `None` for all of this machine.
    host: Option<String>,
    port: u16,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: Some(address.ip().to_string()), port: address.port() });
        }
        let expected = || {
            "it takes HOST:PORT, as in 127.0.0.1:50051, localhost:50051, [::1]:50051, or :50051 for all addresses of this \
             machine"
                .to_owned()
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        if host.contains([':', '/', '[', ']', '@', ' ']) {
            return Err(expected());
        }
        let port = port.parse().map_err(|_| format!("{}; a port is a number from 0 to 65535", expected()))?;
        Ok(Self { host: Some(host).filter(|host| !["", "*"].contains(host)).map(str::to_owned), port })
    }
}

impl Listen {
    /// The addresses to try, in this order; `setting` has the value.
    pub async fn addresses(&self, setting: &str) -> Result<Vec<SocketAddr>, SettingError> {
        let Some(host) = &self.host else {
            // The first takes callers of both kinds, where the machine has both.
            return Ok(vec![([0; 16], self.port).into(), ([0; 4], self.port).into()]);
        };
        let found = tokio::net::lookup_host((host.as_str(), self.port)).await.map_err(|cause| {
            SettingError::new(format!("{setting} names the host {host}, which cannot be found: {cause}"))
        })?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.dedup();
        Ok(addresses)
    }
}
