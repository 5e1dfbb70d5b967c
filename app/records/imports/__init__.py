"""Files of customers, transactions and events, read column by column and stored like any other push."""
