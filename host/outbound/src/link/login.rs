//! The login on a link, before the first message.

use baton_mail::tls::Security;
use baton_mail::{EnhancedCode, FailureClass, Phase, Status};
use baton_smtp::client::{ClientPhase, ClientStep};

use super::wire::Broken;
use super::{Link, Refusal};
use crate::login::{Exchange, Login, NoLogin};
use crate::settings::OutboundSettings;

impl Link {
    /// Logs in. Trouble with it makes mail wait: it is the operator's to mend, and says nothing of the recipients.
    pub(super) async fn log_in(&mut self, login: &Login, settings: &OutboundSettings) -> Result<(), Refusal> {
        if !(login.without_tls || matches!(self.remote.security, Some(Security::Protected(_)))) {
            return Err(self.not_logged_in("no secret is sent without TLS"));
        }
        let begun = self.begin_login(login).await;
        let mut exchange = begun.map_err(|NoLogin(why)| self.not_logged_in(&why))?;
        loop {
            match self.drive(settings).await {
                Ok(ClientStep::Challenge(challenge)) => {
                    let answer = exchange.answer(&challenge);
                    let answer = answer.map_err(|NoLogin(why)| self.not_logged_in(&why))?;
                    if self.client.respond(&answer).is_err() {
                        return Err(self.broken(&Broken::Closed(ClientPhase::Auth)).into());
                    }
                }
                Ok(ClientStep::LoggedIn) if exchange.may_end() => return Ok(()),
                Ok(ClientStep::LoggedIn) => {
                    return Err(self.not_logged_in("the peer did not prove that it knows the password"));
                }
                Ok(ClientStep::NotLoggedIn(reply)) => {
                    return Err(self.not_logged_in(&format!("the peer refuses the login: {reply}")));
                }
                Ok(ClientStep::Closing(reply)) => {
                    return Err(self.not_logged_in(&format!("the peer closes at the login: {reply}")));
                }
                Ok(_) => return Err(self.broken(&Broken::Closed(ClientPhase::Auth)).into()),
                Err(broken) => return Err(self.broken(&broken).into()),
            }
        }
    }

    async fn begin_login(&mut self, login: &Login) -> Result<Exchange, NoLogin> {
        let mechanism = login.choose(&self.client.capabilities().auth)?;
        let mut exchange = login.begin(mechanism).await?;
        let first = exchange.first()?;
        let begun = self.client.authenticate(mechanism.as_str(), first.as_deref());
        begun.map_err(|_| NoLogin("the connection takes no login now".to_owned()))?;
        Ok(exchange)
    }

    /// RFC 4954 6: X.7.8, authentication credentials invalid.
    fn not_logged_in(&self, text: &str) -> Refusal {
        let status = Status::ours(Phase::Ehlo, FailureClass::Policy, EnhancedCode(4, 7, 8), text);
        Refusal { status: status.at(self.remote.clone()), permanent: false, flaw: None }
    }
}
