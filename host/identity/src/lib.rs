//! Who a message is from: SPF, DKIM, DMARC and ARC checked and signed.
