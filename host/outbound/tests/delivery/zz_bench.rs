use crate::peer::*; use crate::relay::*;
use std::time::Duration;
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (f[11].parse::<f64>().unwrap()+f[12].parse::<f64>().unwrap())/100.0 }
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore]
async fn bench() {
    use tokio::io::*;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { loop { let (mut s, _) = listener.accept().await.unwrap(); tokio::spawn(async move {
        s.set_nodelay(true).unwrap();
        s.write_all(b"220 x\r\n").await.unwrap(); let mut b = vec![0u8; 65536]; let n = s.read(&mut b).await.unwrap(); assert!(n>0);
        s.write_all(b"250-x\r\n250-PIPELINING\r\n250-SIZE\r\n250 CHUNKING\r\n").await.unwrap();
        let mut have = Vec::new();
        loop { let n = match s.read(&mut b).await { Ok(0)|Err(_) => return, Ok(n)=>n }; have.extend_from_slice(&b[..n]);
            loop { let Some(p) = have.windows(5).position(|w| w==b"BDAT ") else { break }; let Some(e) = have[p..].iter().position(|c| *c==b'\n') else { break };
                let len: usize = std::str::from_utf8(&have[p+5..p+e]).unwrap().split(' ').next().unwrap().parse().unwrap();
                if have.len() < p+e+1+len { break } have.drain(..p+e+1+len);
                s.write_all(b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.0.0 taken\r\n").await.unwrap(); } }
    }); } });
    let relay = std::sync::Arc::new(Relay::start(settings(host(address))));
    let text = format!("Subject: x\r\n\r\n{}", "0123456789abcdef0123456789abcdef\r\n".repeat(120));
    for sessions in [1usize, 50, 200, 1000] {
    let c0 = cpu(); let t0 = tokio::time::Instant::now(); let per = 20_000/sessions;
    let d0 = relay.metrics.recipients.get_or_create(&baton_outbound::metrics::Result{outcome:"delivered",class:"none"}).get();
    let hs: Vec<_> = (0..sessions).map(|_| { let r = relay.clone(); let t = text.clone(); tokio::spawn(async move { for _ in 0..per { r.submit("s@a.test", &["u@b.test"], &t).await; } }) }).collect();
    for h in hs { h.await.unwrap(); }
    let acc = t0.elapsed();
    loop { let d = relay.metrics.recipients.get_or_create(&baton_outbound::metrics::Result{outcome:"delivered",class:"none"}).get(); if d-d0 >= (per*sessions) as u64 { break } tokio::time::sleep(Duration::from_millis(5)).await; }
    println!("sessions {sessions}: accept {:?} all {:?} rate {:.0}/s cpu/msg {:.3} ms conns {}", acc, t0.elapsed(), (per*sessions) as f64/t0.elapsed().as_secs_f64(), (cpu()-c0)*1000.0/(per*sessions) as f64, relay.metrics.connections.get());
    }
}
