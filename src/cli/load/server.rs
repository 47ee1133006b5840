//! The server of a load, and who loads.

use std::{env, fs, path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    cli::{ask::ask, values::number},
    client::{Client, Login, Retry, Settings, Tokens},
    load::fault::Trouble,
    secret::Secret,
};

const TOKEN: &str = "REFERRAL_EVENTS_TOKEN";
const PASSWORD: &str = "REFERRAL_EVENTS_PASSWORD";

#[derive(Args, Debug)]
pub struct ServerArguments {
    /// The server, as http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    server: String,
    /// Who loads: logs in with the password in REFERRAL_EVENTS_PASSWORD, or asked for. Without it the token is taken from
    /// REFERRAL_EVENTS_TOKEN
    #[arg(long, value_name = "USER", requires = "organisation")]
    username: Option<String>,
    /// The organisation of the user
    #[arg(long, value_name = "ORG", requires = "username")]
    organisation: Option<String>,
    /// A file that has the token
    #[arg(long, value_name = "FILE", conflicts_with = "username", hide_short_help = true)]
    token_file: Option<PathBuf>,
    /// A PEM file of the authorities of which one has signed the certificate of an https server [default: those of the
    /// system]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    authority: Option<PathBuf>,
    /// How often in a row something is tried that may succeed later, before the load stops (1 to 1000)
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = number::<u32>(1..=1000), hide_short_help = true)]
    attempts: u32,
}

impl ServerArguments {
    pub async fn client(&self, on_retry: impl Fn(&Retry<'_>) + Send + Sync + 'static) -> Result<Client, Trouble> {
        let settings = Settings {
            ca_file: self.authority.clone(),
            attempts: Some(self.attempts),
            on_retry: Some(Arc::new(on_retry)),
            ..Settings::default()
        };
        let client = Client::new(&self.server, self.tokens().await?, settings);
        client.map_err(|error| Trouble::unusable(error.to_string()))
    }

    async fn tokens(&self) -> Result<Tokens, Trouble> {
        if let (Some(username), Some(organisation)) = (&self.username, &self.organisation) {
            let password = match secret_of(PASSWORD) {
                Some(password) => password,
                None => ask(format!("password of {username}: ")).await.map_err(|cause| {
                    Trouble::unusable(format!("no password of {username} in {PASSWORD}, and none asked for: {cause}"))
                })?,
            };
            let (username, organisation) = (username.clone(), organisation.clone());
            return Ok(Tokens::Login(Login { username, password, organisation, unit: None }));
        }
        if let Some(file) = &self.token_file {
            let token = fs::read_to_string(file);
            let token =
                token.map_err(|cause| Trouble::unusable(format!("{} cannot be read: {cause}", file.display())))?;
            return Ok(Tokens::Fixed(Secret::new(token.trim())));
        }
        let token = secret_of(TOKEN).map(Tokens::Fixed);
        token.ok_or_else(|| {
            Trouble::unusable(format!(
                "there is no token: give one in {TOKEN} or --token-file, or log in with --username and --organisation"
            ))
        })
    }
}

fn secret_of(variable: &str) -> Option<Secret> {
    env::var(variable).ok().filter(|value| !value.is_empty()).map(Secret::new)
}
