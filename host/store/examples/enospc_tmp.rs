use std::sync::Arc; use std::time::Duration;
use baton_mail::clock::SystemClock; use baton_mail::*; use baton_store::*; use bytes::Bytes;
fn nm(n: usize)->NewMessage{ let now=SystemClock.now(); let id=MessageId::new(now);
 let mut e=Envelope::new(id,now,Duration::from_secs(86400),ReversePath::Null,Origin::internal());
 e.recipients.push("x@b.example".parse::<Mailbox>().unwrap().into()); e.size=n as u64;
 let mut v=vec![0u8;n]; let mut s=id.time().0^0x9E3779B97F4A7C15; for b in v.iter_mut(){ s^=s<<13;s^=s>>7;s^=s<<17; *b=s as u8;}
 NewMessage{jobs:vec![NewJob{queue:"q".into(),recipients:vec![0],due:now}],body:Body::from(Bytes::from(v)),events:vec![],envelope:e}}
fn main(){ let dir=std::env::args().nth(1).unwrap(); let floor:u64=std::env::args().nth(2).unwrap().parse().unwrap();
 let rt=tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
 rt.block_on(async{ let m=Arc::new(Metrics::default());
  let mut st=StoreSettings::new(format!("{dir}/q")); st.free_octets_min=floor; st.free_inodes_min=5; st.write_buffer_octets=8<<20;
  let s=Store::open(st,Arc::new(SystemClock),m.clone()).unwrap();
  let mut acked=vec![]; let mut refused=0; let t0=tokio::time::Instant::now();
  let mut first=None;
  while refused<200 { match s.accept(nm(20000)).await { Ok(a)=>acked.push(a.id()), Err(e)=>{ if first.is_none(){first=Some(format!("{e} {}", e.reply()));} refused+=1; tokio::time::sleep(Duration::from_millis(20)).await; } } }
  println!("full: acked {} refused {refused} first {first:?} check {:?} t {:?}",acked.len(), s.check_space(), t0.elapsed());
  std::process::Command::new("df").arg(&dir).status().unwrap();
  // deliveries still drain: settle all
  let mut n=0; let all=acked.len(); while n<all*9/10 { s.wait_for_work().await; for c in s.claim(100).await.unwrap(){ n+=1; let st=Status::ours(Phase::Data,FailureClass::Unknown,EnhancedCode(2,0,0),"ok"); s.settle(c,Settlement{outcomes:vec![(0,Outcome::Delivered(st))],..Default::default()}).await.unwrap(); } }
  println!("settled {n} check {:?}", s.check_space());
  if let Some(f)=std::env::args().nth(3){ std::fs::remove_file(f).unwrap(); println!("freed ballast"); }
  let t=tokio::time::Instant::now();
  loop { match s.accept(nm(20000)).await { Ok(a)=>{acked.push(a.id()); break}, Err(e)=>{ if t.elapsed().as_secs()>100 {println!("no recovery: {e} check {:?}", s.check_space()); break;} tokio::time::sleep(Duration::from_millis(100)).await } } }
  println!("accepts again after {:?}", t.elapsed());
  std::process::Command::new("df").arg(&dir).status().unwrap();
  for _ in 0..50 { let _=s.accept(nm(20000)).await.map(|a|acked.push(a.id())); }
  println!("acked total {}", acked.len());
  let left=s.summary().await.unwrap(); println!("left {left:?} expected {}", acked.len()-n);
  s.close().await;
 });
 rt.block_on(async{ let m=Arc::new(Metrics::default()); let mut st=StoreSettings::new(format!("{dir}/q")); st.free_octets_min=0; st.free_inodes_min=0; st.write_buffer_octets=8<<20; let s=Store::open(st,Arc::new(SystemClock),m).unwrap(); println!("reopened: {:?}", s.summary().await.unwrap()); });
}
