import sys; sys.path.insert(0,'.')
from common import *
import csv,time
rng=np.random.default_rng(1)
n_tr=int(sys.argv[1])
test=batch(held_ids,80,T,np.random.default_rng(99))
S=abs(test);X=abs(test.sum(1));m=S[:,0]/(S.sum(1)+1e-9)
rows=[]
def report(name,m0,n=''):
    M=np.stack([m0,1-m0],1); r=dict(what=name,number=n,loss=round(float(loss(test,M).mean()),4),si_sdri_db=round(float(score(test,M).mean()),2)); rows.append(r); print(r,flush=True)
report('equal masks',np.full_like(m,.5))
report('ideal ratio mask',m); report('ideal binary mask',(m>.5).astype(float))
# best mask constant in blocks: weights |X|^2: alpha minimising ||aX-S1||^2+||(1-a)X-S2||^2
num=X*S[:,0]+X*X-X*S[:,1]; den=2*X*X+1e-9
report('ideal mask of the loss',np.clip(num/den,0,1))
for bt,bf in ((1,2),(2,1),(2,2),(4,4),(1,8),(8,1),(8,8),(24,24)):
    pt,pf=-T%bt,-257%bf
    P=lambda A:np.pad(A,((0,0),(0,pt),(0,pf))).reshape(len(A),(T+pt)//bt,bt,(257+pf)//bf,bf).sum((2,4))
    a=np.clip(P(num)/P(den),0,1); a=a.repeat(bt,1).repeat(bf,2)[:,:T,:257]
    report(f'mask constant in blocks of {bt} frames x {bf} bins',a,P(num)[0].size)
tr=[];w=0
for i in range(0,n_tr,100):
    c=batch(train_ids,100,T,rng); s=abs(c); tr.append((s[:,0]/(s.sum(1)+1e-9)-.5).astype(np.float32)); w=w+(abs(c.sum(1))**2).mean((0,1))
A=np.concatenate(tr).reshape(n_tr,T,257); w=np.sqrt(np.sqrt(w/w.max())); 
A=(A*w.astype(np.float32)).reshape(n_tr,-1)
t0=time.time(); G=A@A.T; print('gram',time.time()-t0,flush=True)
lam,V=np.linalg.eigh(G.astype(np.float64)); print('eigh',time.time()-t0,flush=True)
lam,V=lam[::-1],V[:,::-1]
Xw=(X/np.sqrt((X**2).mean((1,2),keepdims=True))).reshape(80,-1)
ideal=(np.clip(num/den,0,1)-.5).reshape(80,-1)
wb=np.broadcast_to(w,(T,257)).reshape(-1)
for r in (16,64,256,1024,2048):
    if r>n_tr*0.7: continue
    B=((A.T@V[:,:r].astype(np.float32))/np.sqrt(lam[:r]).astype(np.float32))  # [d,r], orthonormal, in weighted units
    code=(ideal*wb)@B
    report('linear code, projection',np.clip((code@B.T/wb).reshape(80,T,257)+.5,0,1),r)
    # weighted least squares for each segment by conjugate gradients
    D=B/wb[:,None].astype(np.float32); W=(Xw**2).astype(np.float32)
    f=lambda c:(W*(c@D.T))@D+1e-2*c
    b=(W*ideal.astype(np.float32))@D; c=code.astype(np.float32); res=b-f(c); p=res.copy(); rs=(res**2).sum(1,keepdims=True)
    for _ in range(30):
        q=f(p); al=rs/((p*q).sum(1,keepdims=True)+1e-20); c=c+al*p; res=res-al*q; r2=(res**2).sum(1,keepdims=True); p=res+r2/(rs+1e-20)*p; rs=r2
    report('linear code, best for the segment',np.clip((c@D.T).reshape(80,T,257)+.5,0,1),r); print(time.time()-t0,flush=True)
csv.DictWriter(o:=open('ceiling.csv','w'),rows[0].keys()).writeheader()
csv.DictWriter(o,rows[0].keys()).writerows(rows)
