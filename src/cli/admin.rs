//! Where metrics and probes are served.

use std::{net::SocketAddr, str::FromStr};

use clap::Args;
use tokio::net::TcpListener;

use super::values::Listen;
use crate::config::SettingError;

#[derive(Args, Debug)]
#[command(next_help_heading = "Settings of serve")]
pub struct AdminArguments {
    /// The address of /metrics, /livez and /readyz, HOST:PORT, or off for none; who reaches it needs no token [default:
    /// 127.0.0.1:50052, or none where that is taken]
    #[arg(long, value_name = "ADDRESS", env = "REFERRAL_EVENTS_ADMIN_LISTEN", hide_short_help = true)]
    admin_listen: Option<AdminListen>,
}

#[derive(Clone, Debug)]
enum AdminListen {
    Off,
    On(Listen),
}

impl FromStr for AdminListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::On).map_err(|refusal| format!("{refusal}; or off for none")),
        }
    }
}

/// Where it is if nothing is said.
const DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 50052);

impl AdminArguments {
    /// Where it is to be, and whether that is named; `None` where it is switched off.
    pub async fn addresses(&self) -> Result<Option<(Vec<SocketAddr>, bool)>, SettingError> {
        Ok(match &self.admin_listen {
            Some(AdminListen::Off) => None,
            Some(AdminListen::On(address)) => Some((address.addresses("--admin-listen").await?, true)),
            None => Some((vec![DEFAULT.into()], false)),
        })
    }

    /// Listens; none where it is switched off. Several servers on one machine can be started without a word about this, so
    /// the default address may be taken; one that is named may not.
    pub async fn listen(&self) -> Result<Option<TcpListener>, SettingError> {
        let Some((addresses, is_named)) = self.addresses().await? else { return Ok(None) };
        match listen(&addresses).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if is_named => Err(SettingError::new(format!("--admin-listen: {error}"))),
            Err(error) => {
                tracing::warn!("no metrics are served, and --admin-listen names another address or off: {error}");
                Ok(None)
            }
        }
    }
}

pub async fn listen(addresses: &[SocketAddr]) -> Result<TcpListener, SettingError> {
    TcpListener::bind(addresses).await.map_err(|error| {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        SettingError::new(format!("{} cannot be listened on: {error}", addresses.join(", ")))
    })
}
