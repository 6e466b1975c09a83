import sys; sys.path.insert(0,'.')
from common import *
import torch, time, argparse, csv, os
from torch import nn
import torch.nn.functional as Fn
torch.set_num_threads(1)
p=argparse.ArgumentParser(); p.add_argument('--net',default='article'); p.add_argument('--lr',type=float,default=1e-3)
p.add_argument('--updates',type=int,default=400); p.add_argument('--batch',type=int,default=32); p.add_argument('--seconds',type=float,default=1e9)
p.add_argument('--name',default=None); p.add_argument('--oracle',action='store_true'); p.add_argument('--sqrt',action='store_true')
p.add_argument('--frames',type=int,default=T); p.add_argument('--every',type=int,default=100); p.add_argument('--beta2',type=float,default=.999)
p.add_argument('--clip',type=float,default=0); p.add_argument('--width',type=int,default=256)
a=p.parse_args(); name=a.name or f'{a.net}_{a.lr}'
torch.manual_seed(0); rng=np.random.default_rng(5); F=257
NIN=2 if a.oracle else 1
class Article(nn.Module):
    def __init__(s,bn=False,pool=True,dense=1024,counts=(2,1,1),widths=(64,128,256),nodense=False,relu=False):
        super().__init__(); L=[]; c=NIN
        for n,w in zip(counts,widths):
            for i in range(n):
                L+=[nn.Conv2d(c,w,3,stride=2 if i==0 else 1,padding=1)]+([nn.BatchNorm2d(w)] if bn else [])+[nn.ReLU()]; c=w
        if pool: L+=[nn.MaxPool2d(3,3)]
        s.c=nn.Sequential(*L); n=s.c(torch.zeros(2,NIN,T,F)).flatten(1).shape[1]
        s.b=nn.Linear(n,dense); s.relu=relu; s.d=nn.Linear(dense,T*F*2)
        for m in s.modules():
            if isinstance(m,(nn.Linear,nn.Conv2d)): nn.init.xavier_uniform_(m.weight); nn.init.zeros_(m.bias)
    def forward(s,x):
        h=s.b(s.c(x).flatten(1)); h=Fn.relu(h) if s.relu else h
        return s.d(h).view(-1,T,F,2)
class UNet(nn.Module):
    """Strided encoder, transposed decoder; skips optional."""
    def __init__(s,skip=True,w=(16,32,64,96)):
        super().__init__(); s.skip=skip; c=NIN; s.e=nn.ModuleList(); s.u=nn.ModuleList()
        for n in w: s.e.append(nn.Sequential(nn.Conv2d(c,n,5,stride=2,padding=2),nn.BatchNorm2d(n),nn.ReLU())); c=n
        for n in list(w[:-1][::-1])+[w[0]]:
            s.u.append(nn.Sequential(nn.ConvTranspose2d(c,n,4,stride=2,padding=1),nn.BatchNorm2d(n),nn.ReLU())); c=n*2 if skip else n
        c=w[0]+(NIN if skip else 0); s.o=nn.Conv2d(c,2,3,padding=1)
    def forward(s,x):
        hs=[x]
        for e in s.e: hs.append(e(hs[-1]))
        h=hs.pop()
        for u in s.u:
            k=hs.pop(); h=u(h)[...,:k.shape[2],:k.shape[3]]
            h=Fn.pad(h,(0,k.shape[3]-h.shape[3],0,k.shape[2]-h.shape[2]))
            if s.skip: h=torch.cat([h,k],1)
        return s.o(h).permute(0,2,3,1)
class Res1(nn.Module):
    def __init__(s,w,d,bn=True,k=3):
        super().__init__(); s.n=nn.BatchNorm1d(w) if bn else nn.Identity(); s.a=nn.Conv1d(w,w,k,padding=d*(k//2),dilation=d); s.b=nn.Conv1d(w,w,1)
    def forward(s,x): return x+s.b(Fn.relu(s.a(s.n(x))))
class Time(nn.Module):
    """Frequencies are channels; dilated residual convolutions over time; the last layer gives the masks of each frame."""
    def __init__(s,w=256,ds=(1,2,4,8,1,2,4,8),bn=True):
        super().__init__(); s.i=nn.Conv1d(F*NIN,w,1); s.r=nn.Sequential(*[Res1(w,d,bn) for d in ds],nn.BatchNorm1d(w) if bn else nn.Identity()); s.o=nn.Conv1d(w,F*2,1)
    def forward(s,x):
        h=x.permute(0,1,3,2).flatten(1,2); return s.o(s.r(s.i(h))).view(len(x),F,2,-1).permute(0,3,1,2)
class Blstm(nn.Module):
    def __init__(s,w=200):
        super().__init__(); s.r=nn.LSTM(F*NIN,w,2,bidirectional=True,batch_first=True); s.o=nn.Linear(2*w,F*2)
    def forward(s,x): return s.o(s.r(x.permute(0,2,1,3).flatten(2))[0]).view(len(x),-1,F,2)
class PCA(Article):
    """The article's encoder, decoder fixed to the principal components of ideal masks."""
    def __init__(s,r=1024,bn=False,pool=True,train=False):
        super().__init__(bn=bn,pool=pool,dense=r); g=np.random.default_rng(1); tr=[]
        for i in range(20): c=abs(batch(train_ids,100,T,g)); tr.append((c[:,0]/(c.sum(1)+1e-9)-.5).reshape(100,-1).astype(np.float32))
        A=np.concatenate(tr); lam,V=np.linalg.eigh((A@A.T).astype(np.float64)); lam=lam[::-1][:r]; V=V[:,::-1][:,:r]
        B=A.T@(V/np.sqrt(lam)).astype(np.float32)  # d x r
        D=np.stack([B,-B],1).reshape(-1,r)*2.0*np.sqrt(lam/len(A)).astype(np.float32)*2  # logits per unit of code
        s.d.weight.data=torch.tensor(D,dtype=torch.float32); s.d.weight.requires_grad_(train); 
class TimeDense(Time):
    """Time's layers, then the article's end: one code for the segment and a dense layer with own weights for every bin."""
    def __init__(s):
        super().__init__(256); s.b=nn.Linear(256*T,1024); s.d=nn.Linear(1024,T*F*2)
        for m in (s.b,s.d): nn.init.xavier_uniform_(m.weight); nn.init.zeros_(m.bias)
    def forward(s,x):
        h=s.r(s.i(x.permute(0,1,3,2).flatten(1,2))); return s.d(s.b(h.flatten(1))).view(-1,T,F,2)
class ImageFrame(nn.Module):
    """The article's convolutions and pooling, but strided in frequency only; then one linear layer shared by all frames."""
    def __init__(s,w=(16,32,64)):
        super().__init__(); L=[]; c=NIN
        for i,n in enumerate(w):
            L+=[nn.Conv2d(c,n,3,stride=(1,2),padding=1),nn.ReLU()]; c=n
        s.c=nn.Sequential(*L,nn.MaxPool2d((1,3),(1,3))); s.o=nn.Linear(c*11,F*2)
    def forward(s,x): return s.o(s.c(x).permute(0,2,1,3).flatten(2)).view(len(x),-1,F,2)
nets=dict(time_dense=TimeDense,image_frame=ImageFrame,article=Article, article_bn=lambda:Article(bn=True), article_nopool=lambda:Article(pool=False), article_bn_nopool=lambda:Article(bn=True,pool=False),
 article_large=lambda:Article(counts=(5,3,3)),article_large_bn=lambda:Article(counts=(5,3,3),bn=True), article_relu=lambda:Article(relu=True),article_bn_relu=lambda:Article(bn=True,relu=True),
 pca=PCA,pca_bn=lambda:PCA(bn=True),pca256=lambda:PCA(256),pca_train=lambda:PCA(train=True),unet=UNet,unet_noskip=lambda:UNet(False),time=lambda:Time(a.width),time_nobn=lambda:Time(a.width,bn=False),blstm=Blstm,
 time12=lambda:Time(a.width,(1,2,4,8)*3))
net=nets[a.net](); n_par=sum(q.numel() for q in net.parameters())
def feat(C):
    X=np.abs(C); X=X/X.max((-1,-2),keepdims=True)
    f=np.sqrt(X) if a.sqrt else 20*np.log10(np.maximum(X,1e-3))
    f=(f-f.min((-1,-2),keepdims=True))/np.ptp(f,(-1,-2),keepdims=True) if a.sqrt else (f-f.mean((-1,-2),keepdims=True))/f.std((-1,-2),keepdims=True)
    return f
def prep(C):
    X=C.sum(1); ins=[feat(X)]+([feat(C[:,0])] if a.oracle else [])
    return torch.tensor(np.stack(ins,1),dtype=torch.float32),torch.tensor(abs(X)),torch.tensor(abs(C))
def pit(out,X,S):
    M=out.softmax(-1); sq=(X**2).sum((1,2))
    E=[[((M[...,i]*X-S[:,j])**2).sum((1,2)) for j in (0,1)] for i in (0,1)]
    return (torch.minimum(E[0][0]+E[1][1],E[0][1]+E[1][0])/sq).mean()
val=batch(held_ids,96,a.frames,np.random.default_rng(77)); vx=prep(val)
opt=torch.optim.Adam([q for q in net.parameters() if q.requires_grad],a.lr,betas=(.9,a.beta2)); out=f'h_{name}.csv'
if os.path.exists(out): os.remove(out)
def evaluate(u,tl,t0):
    net.eval()
    with torch.no_grad():
        o=torch.cat([net(vx[0][i:i+32]) for i in range(0,96,32)]); vl=float(pit(o,*vx[1:])); M=o.softmax(-1).permute(0,3,1,2).numpy()
    sd=score(val,M); net.train(); k=[sd[i::4].mean() for i in range(4)]
    row=dict(trial=name,update=u,seconds=round(time.time()-t0),cpu_seconds=round(time.process_time()),loss=round(float(tl),4),validation_loss=round(vl,4),si_sdri_db=round(float(sd.mean()),3),FF=round(float(k[0]),2),MM=round(float(k[1]),2),FM=round(float(k[2]+k[3])/2,2),mask_contrast=round(float(np.abs(M-.5).mean())*2,3))
    with open(out,'a') as f:
        w=csv.DictWriter(f,row.keys()); f.tell()==0 and w.writeheader(); w.writerow(row)
    print(row,flush=True)
t0=time.time(); run=[]; print(name,n_par,flush=True); evaluate(0,0,t0)
for u in range(1,a.updates+1):
    done=max(u/a.updates,(time.time()-t0)/a.seconds); 
    if done>=1 and u<a.updates: break
    for g in opt.param_groups: g['lr']=a.lr*(.5+.5*np.cos(np.pi*min(done,1)))*min(1,u/20)
    x,X,S=prep(batch(train_ids,a.batch,a.frames,rng)); l=pit(net(x),X,S); opt.zero_grad(); l.backward()
    if a.clip: nn.utils.clip_grad_norm_(net.parameters(),a.clip)
    opt.step(); run.append(l.item())
    if u%a.every==0: evaluate(u,np.mean(run[-a.every:]),t0)
if u%a.every: evaluate(u,np.mean(run[-a.every:]),t0)
torch.save(net.state_dict(),f'm_{name}.pt')
