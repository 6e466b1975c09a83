"""Mixtures of cached spectrograms, segments, scores: shared by the trials."""
import pickle, numpy as np
from scipy.signal import lfilter
T=51
speech,sex=pickle.load(open('cache.pkl','rb'))
rng0=np.random.default_rng(0)
held=set()
for s in 'FM':
    few=sorted(k for k in speech if sex[k]==s)
    held|=set(rng0.permutation(few)[:10])
train_ids={s:[k for k in sorted(speech) if k not in held and sex[k]==s] for s in 'FM'}
held_ids={s:[k for k in sorted(speech) if k in held and sex[k]==s] for s in 'FM'}
def excerpt(u,t,rng):
    u=u[rng.integers(len(u))] if isinstance(u,list) else u
    if len(u)<t: u=np.concatenate([u]*(t//len(u)+1))
    a=rng.integers(len(u)-t+1); return u[a:a+t]
def pair(ids,kind,t,rng):
    if kind[0]==kind[1]: a,b=rng.choice(ids[kind[0]],2,replace=False)
    else: a,b=rng.choice(ids[kind[0]]),rng.choice(ids[kind[1]])
    return np.stack([excerpt(speech[a],t,rng),excerpt(speech[b],t,rng)])
def batch(ids,n,t,rng):
    return np.stack([pair(ids,['FF','MM','FM','MF'][i%4],t,rng) for i in range(n)])  # complex [n,2,t,257]
win=np.hanning(513)[:-1]
def synth(Z):  # [...,T,257] -> [...,N], de-emphasised
    fr=np.fft.irfft(Z,512)*win; a=fr[...,:256]; b=fr[...,256:]
    n=fr.shape[-2]; y=np.zeros(fr.shape[:-2]+(n+1,256)); y[...,:n,:]+=a; y[...,1:,:]+=b
    w=win**2; norm=np.zeros((n+1,256)); norm[:n]+=w[:256]; norm[1:]+=w[256:]
    y=(y/np.maximum(norm,1e-3)).reshape(fr.shape[:-2]+(-1,))[...,256:-256]
    return lfilter([1],[1,-.95],y)
def sisdr(r,e):
    a=(r*e).sum(-1,keepdims=True)/(r*r).sum(-1,keepdims=True); t=a*r
    return 10*np.log10((t**2).sum(-1)/((t-e)**2).sum(-1)+1e-12)
def score(C,M):  # complex sources [n,2,t,f], masks [n,2,t,f] -> si-sdr improvement [n], best order over whole
    ref=synth(C); est=synth(M*C.sum(1,keepdims=True)); mix=ref.sum(1,keepdims=True)
    base=sisdr(ref,mix).mean(1)
    return np.maximum(sisdr(ref,est).mean(1),sisdr(ref,est[:,::-1]).mean(1))-base
def loss(C,M):
    S=abs(C);X=abs(C.sum(1)); E=M*X[:,None]
    d=lambda A,B:((A-B)**2).sum((1,2,3))
    return (np.minimum(d(E,S),d(E[:,::-1],S))/(X**2).sum((1,2)))
