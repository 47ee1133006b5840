//! Looks whether the files have changed, and tells the operator of the served certificate what there is to tell.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Tls, Unusable,
    files::{self, Contents, Fingerprint},
    pair::Pair,
};

/// How long before its end a certificate should have been renewed, and how often that is said.
const NEAR: TimeDelta = TimeDelta::days(14);
const REMINDER: TimeDelta = TimeDelta::days(1);

/// Is asked to look again and again.
pub struct Watch {
    tls: Tls,
    /// What was found that cannot be served, since the last that could.
    fault: Option<Fault>,
    /// When it was last said that the certificate is near its end.
    reminded: Option<DateTime<Utc>>,
}

struct Fault {
    found: Result<Fingerprint, String>,
    is_told: bool,
}

impl Watch {
    pub fn new(tls: Tls) -> Self {
        Self { tls, fault: None, reminded: None }
    }

    /// Serves what the files hold, where that is new and can be served.
    pub fn look(&mut self, now: DateTime<Utc>) {
        let read = files::read(&self.tls.0.settings);
        let found = read.as_ref().map(Contents::fingerprint).map_err(Unusable::to_string);
        if found == Ok(self.tls.served().fingerprint) {
            if self.fault.take().is_some_and(|fault| fault.is_told) {
                tracing::info!("the files have the TLS certificate again that is served");
            }
        } else {
            match read.and_then(|contents| Pair::of(contents, &self.tls.0.settings, now)) {
                Ok(pair) => self.serve(pair),
                Err(error) => self.refuse(found, &error),
            }
        }
        self.remind(now);
    }

    fn serve(&mut self, pair: Pair) {
        let (subject, ends) = (pair.subject.clone(), pair.ends);
        self.tls.serve(pair);
        // Once it is so: who reads this may connect at once.
        tracing::info!(subject, %ends, "new connections get a new TLS certificate");
        (self.fault, self.reminded) = (None, None);
    }

    /// Says so once it is found for the second time: files that are replaced one after the other do not fit in between.
    fn refuse(&mut self, found: Result<Fingerprint, String>, error: &Unusable) {
        match &mut self.fault {
            Some(fault) if fault.found == found => {
                if !fault.is_told {
                    tracing::error!(%error, "the new TLS certificate is not served; the last good one is kept");
                }
                fault.is_told = true;
            }
            _ => self.fault = Some(Fault { found, is_told: false }),
        }
    }

    fn remind(&mut self, now: DateTime<Utc>) {
        let served = self.tls.served();
        let is_due = self.reminded.is_none_or(|last| now - last >= REMINDER);
        if served.ends - now > NEAR || !is_due {
            return;
        }
        let (subject, ends) = (&served.subject, served.ends);
        if ends <= now {
            tracing::error!(subject, %ends, "the TLS certificate that is served has ended; renew it");
        } else {
            tracing::warn!(subject, %ends, "the TLS certificate that is served ends soon; renew it");
        }
        self.reminded = Some(now);
    }
}
