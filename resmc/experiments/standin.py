import numpy as np
class Series:
    def __init__(self, length):
        self.length=length; T=self.period=max(2.0,1+8.5*length)
        m=np.arange(0,100000); v=length*np.sqrt(2*np.pi)/T*np.exp(-2*(np.pi*m*length/T)**2); v[1:]*=2
        M=int(np.searchsorted(-v,-1e-17)); self.m=m[1:M]; self.sd=np.sqrt(v[:M])
        self.terms=2*M-1
    def values(self,t):
        x=2*np.pi*np.outer(t,self.m)/self.period
        return np.concatenate([np.full((len(t),1),self.sd[0]),np.cos(x)*self.sd[1:],np.sin(x)*self.sd[1:]],1)
    def derivatives(self,t):
        w=2*np.pi*self.m/self.period; x=np.outer(t,w)
        return np.concatenate([np.zeros((len(t),1)),-w*np.sin(x)*self.sd[1:],w*np.cos(x)*self.sd[1:]],1)
def smooth_series(length): return Series(length)
def embedding_eigenvalues(H,L):
    from scipy import fft
    k=np.arange(L+1.)
    g=.5*(np.abs(k+1)**(2*H)+np.abs(k-1)**(2*H)-2*k**(2*H))
    return fft.hfft(g,2*L)[:L+1].clip(0)
