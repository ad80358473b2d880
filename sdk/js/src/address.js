/** A mailbox. Wherever the SDK takes one, "local@domain" does as well. */
export class Address {
  constructor(local, domain) {
    this.local = local;
    this.domain = domain;
    Object.freeze(this);
  }

  static parse(text) {
    if (text instanceof Address) return text;
    const at = String(text).lastIndexOf("@");
    if (at < 1 || at === text.length - 1) throw new TypeError(`"${text}" is not a mailbox: local@domain is needed`);
    return new Address(text.slice(0, at), text.slice(at + 1).toLowerCase());
  }

  toString() {
    return `${this.local}@${this.domain}`;
  }

  toJSON() {
    return this.toString();
  }
}

/** From the host's record to an Address. */
export const fromRaw = (address) => new Address(address.local, address.domain.toLowerCase());

/** From an Address or a text to the host's record. */
export function toRaw(address) {
  const { local, domain } = Address.parse(address);
  return { local, domain };
}

/** ESMTP parameters as an object of upper-case names; those without a value are `true`. */
export const parameters = (list) => Object.freeze(Object.fromEntries(list.map(({ name, value }) => [name, value ?? true])));
