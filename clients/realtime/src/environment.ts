// Whether there is a network, and whether anybody looks.

export interface Environment {
  readonly online: boolean;
  readonly visible: boolean;
  /** Calls back whenever one of them may have changed, until what is returned is called. */
  watch(changed: () => void): () => void;
}

/** The page's own. Where there is no page, there is a network, and somebody looks. */
export function page(): Environment {
  const { navigator, document, addEventListener, removeEventListener } = globalThis as Partial<
    typeof globalThis
  >;
  return {
    get online() {
      return navigator?.onLine ?? true;
    },
    get visible() {
      return document?.visibilityState !== 'hidden';
    },
    watch(changed) {
      addEventListener?.('online', changed);
      addEventListener?.('offline', changed);
      document?.addEventListener('visibilitychange', changed);
      return () => {
        removeEventListener?.('online', changed);
        removeEventListener?.('offline', changed);
        document?.removeEventListener('visibilitychange', changed);
      };
    },
  };
}
