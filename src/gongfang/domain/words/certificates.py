"""Sentences about certificates, HTTPS and the ICP policy."""

from gongfang.domain.messages import register

register(
    {
        "certificate_not_found": (
            "There is no certificate {certificate} that you may see.",
            "证书 {certificate} 不存在或您无权查看。",
        ),
        "certificate_known": (
            "This very certificate is there already as {certificate}; replace that one where its key changed.",
            "该证书已存在（{certificate}）；如需更换密钥，请替换该证书。",
        ),
        "certificate_covers_others": (
            "It covers {domain}, which belongs to an app that you may not change. Ask somebody who has domain:write there, "
            "or use a certificate without that name.",
            "该证书覆盖 {domain}，其所属应用您无权修改。请由有 domain:write 权限的人员操作，或改用不含该域名的证书。",
        ),
        "certificate_platform_only": (
            "Certificates of the whole platform are its administrators' to change.",
            "平台级证书只能由平台管理员管理。",
        ),
        "certificate_of_nobody": (
            "It names {names}, and none of the tenant's domains fits. Bind the domain first (`gongfang domains add`); a "
            "wildcard stands for exactly one label.",
            "证书中的域名为 {names}，与租户的任何域名都不匹配。请先绑定域名（gongfang domains add）；通配符只匹配一级。",
        ),
        "certificate_of_platforms_names": (
            "It names {name}, and names under the base domain {base} are the platform's. A tenant's certificate may name "
            "exactly the address of an app that has it now; a wildcard takes an administrator of the platform, "
            "with --platform.",
            "证书含有 {name}，而基础域名 {base} 之下的名称归平台所有。租户证书只能精确写明应用现有的地址；通配符证书须由平台管理员以 --platform 上传。",
        ),
        "domain_of_platform": (
            "{domain} lies under the platform's base domain {base}: an app gets its address there by its name, and others "
            "take an administrator of the platform. Name an app so, or bind a domain of your own.",
            "{domain} 位于平台基础域名 {base} 之下：应用按名称自动获得该处地址，其他名称须由平台管理员登记。请以此命名应用，或绑定自有域名。",
        ),
        "default_domain_taken": (
            "{wanted} is taken already, so the address of this app is {domain}.",
            "{wanted} 已被占用，本应用的地址为 {domain}。",
        ),
        "certificate_loses": (
            "{domains} would have no certificate any more: this one names {names}. Upload it beside the old one "
            "(`gongfang certificates add`), or give force (--force) if that is meant.",
            "更换后 {domains} 将没有证书（新证书的域名为 {names}）。请另行上传（gongfang certificates add），确需如此请用 force（--force）。",
        ),
        "certificate_not_of_base": (
            "It names {names}, and none lies under the platform's base domain {base}. A certificate of the platform is "
            "usually one for *.{base}.",
            "证书中的域名为 {names}，均不在平台基础域名 {base} 之下。平台证书通常签发给 *.{base}。",
        ),
        "certificate_too_large": (
            "A certificate chain has at most {limit} characters. Send the leaf and its intermediates only.",
            "证书链最多 {limit} 个字符，请只提交服务器证书及中间证书。",
        ),
        "certificate_holds_key": (
            "There is a private key among the certificates. Send it as private_key, and only there.",
            "证书内容中夹有私钥，请将私钥放在 private_key 中提交。",
        ),
        "certificate_none": (
            "There is no certificate in it. It must be PEM text: -----BEGIN CERTIFICATE----- … A file in DER or PKCS#12 "
            "form is converted with openssl (see docs/tls.md).",
            "其中没有证书。需要 PEM 文本（-----BEGIN CERTIFICATE----- …）；DER 或 PKCS#12 文件请先用 openssl 转换（见 docs/tls.md）。",
        ),
        "certificate_too_many": (
            "A chain has at most {limit} certificates. Send the leaf and its intermediates only.",
            "证书链最多包含 {limit} 个证书，请只提交服务器证书及中间证书。",
        ),
        "certificate_unreadable": (
            "Certificate {number} of the chain can't be read; it is damaged or of a kind that is not known. Copy the file "
            "again, whole.",
            "证书链中第 {number} 个证书无法解析，可能已损坏或类型不受支持，请重新完整复制。",
        ),
        "certificate_key_mismatch": (
            "The key does not belong to the certificate of {subject}, nor to another one of the chain. Send the key that the "
            "certificate was requested with.",
            "私钥与证书（{subject}）及链中其他证书都不匹配，请提交申请该证书时使用的私钥。",
        ),
        "certificate_key_size": (
            "The key of {subject} is {key}; RSA keys need 2048 to 8192 bits. Have it issued again with another key.",
            "{subject} 的密钥为 {key}；RSA 密钥须为 2048 至 8192 位，请更换密钥后重新签发。",
        ),
        "certificate_key_kind": (
            "The key of {subject} is of a kind that the edge can't serve ({key}). Use RSA with 2048 bits or more, EC P-256 or "
            "P-384, or Ed25519.",
            "{subject} 的密钥类型（{key}）不受网关支持。请使用 RSA（2048 位及以上）、EC P-256/P-384 或 Ed25519。",
        ),
        "certificate_chain_stray": (
            "{stray} has no place in the chain: what comes next must be the certificate of {issuer}. Leave out what does not "
            "belong to it, and add what is missing.",
            "{stray} 不属于该证书链：下一个应为 {issuer} 的证书。请去掉无关证书并补全缺少的证书。",
        ),
        "certificate_chain_forged": (
            "The certificate of {subject} was not signed by the one of {issuer} that came with it. Take the chain that the "
            "authority issued together with it.",
            "{subject} 的证书并非由所附的 {issuer} 证书签发，请使用签发机构随证书提供的证书链。",
        ),
        "certificate_issuer_is_none": (
            "The certificate of {subject} may not sign others: it is not one of an authority.",
            "{subject} 的证书不是签发机构（CA）证书，不能签发其他证书。",
        ),
        "certificate_expired": (
            "The certificate of {subject} ended on {date}. Have it renewed.",
            "{subject} 的证书已于 {date} 到期，请续期。",
        ),
        "certificate_chain_expired": (
            "The intermediate certificate of {subject} ended on {date}. Get the present chain from the authority.",
            "中间证书 {subject} 已于 {date} 到期，请向签发机构获取新的证书链。",
        ),
        "certificate_not_yet": (
            "The certificate of {subject} is valid from {date} on only. Send it then, or look at this machine's clock.",
            "{subject} 的证书自 {date} 起才有效，请届时提交，或检查本机时钟。",
        ),
        "certificate_weak": (
            "The certificate of {subject} is signed with {digest}, which clients refuse. Have it issued again with SHA-256.",
            "{subject} 的证书使用 {digest} 签名，客户端会拒绝，请以 SHA-256 重新签发。",
        ),
        "certificate_nameless": (
            "The certificate names no domain (subjectAltName); its common name alone is not looked at by clients. Have it "
            "issued again with its names.",
            "证书中没有域名（subjectAltName）；客户端不再识别通用名（CN），请写入域名后重新签发。",
        ),
        "certificate_not_for_servers": (
            "The certificate is not meant for servers: its key usage lacks serverAuth or digitalSignature.",
            "该证书不能用于服务器：密钥用途缺少 serverAuth 或 digitalSignature。",
        ),
        "certificate_must_staple": (
            "The certificate demands OCSP stapling (must-staple), which the edge does not do. Have it issued without.",
            "该证书要求 OCSP 装订（must-staple），网关不支持，请重新签发不带此要求的证书。",
        ),
        "key_too_large": ("A private key has at most {limit} characters.", "私钥最多 {limit} 个字符。"),
        "key_none": (
            "There is no private key in it. It must be PEM text: -----BEGIN PRIVATE KEY----- …",
            "其中没有私钥，需要 PEM 文本（-----BEGIN PRIVATE KEY----- …）。",
        ),
        "key_encrypted": (
            "The private key is encrypted. Decrypt it first: openssl pkey -in key.pem -out plain.pem. Here it is kept sealed.",
            "私钥已加密，请先解密：openssl pkey -in key.pem -out plain.pem。平台会加密保存。",
        ),
        "key_unreadable": (
            "The private key can't be read; it is damaged or of a kind that is not known. Copy the file again, whole.",
            "私钥无法解析，可能已损坏或类型不受支持，请重新完整复制。",
        ),
        "key_kind_unknown": (
            "The private key is of a kind that the edge can't serve. Use RSA, EC P-256 or P-384, or Ed25519.",
            "私钥类型不受网关支持，请使用 RSA、EC P-256/P-384 或 Ed25519。",
        ),
        "part_certificates": ("Certificates", "证书"),
        "certificates_ending": (
            "Of the certificates in use {expired} have ended and {soon} end within 7 days: {names}. Replace them: gongfang "
            "certificates replace.",
            "使用中的证书有 {expired} 个已到期、{soon} 个将在 7 天内到期：{names}。请更换：gongfang certificates replace。",
        ),
        "hsts_without_https": (
            "HSTS tells browsers to use HTTPS only, and HTTPS is off for {domain}. Turn it on, or set hsts_max_age_s to null.",
            "HSTS 要求浏览器只使用 HTTPS，而 {domain} 未启用 HTTPS。请先启用，或将 hsts_max_age_s 设为 null。",
        ),
        "hsts_subdomains_alone": (
            "hsts_subdomains means nothing without hsts_max_age_s. Give both.",
            "hsts_subdomains 须与 hsts_max_age_s 同时设置。",
        ),
        "icp_required": (
            "This platform requires an ICP filing number for {domain}. Give icp_number (--icp), such as 京ICP备12345678号-1.",
            "本平台要求域名 {domain} 提供 ICP 备案号，请填写 icp_number（--icp），例如 京ICP备12345678号-1。",
        ),
        "icp_required_attach": (
            "{domain} has no ICP filing number, and this platform lets no app answer on it without one. Bind it with its "
            "number first: gongfang domains add {domain} --icp NUMBER.",
            "域名 {domain} 没有 ICP 备案号，按平台策略不能挂接应用。请先绑定备案号：gongfang domains add {domain} --icp 备案号。",
        ),
        "api_tls_pair": (
            "The API's certificate and key belong together: set both GONGFANG_API_TLS_CERT and GONGFANG_API_TLS_KEY, or "
            "neither.",
            "接口的证书与私钥须同时设置：GONGFANG_API_TLS_CERT 与 GONGFANG_API_TLS_KEY，或都不设置。",
        ),
        "api_tls_missing": (
            "{file} can't be read, so the API can't be served over HTTPS. Look at GONGFANG_API_TLS_CERT and "
            "GONGFANG_API_TLS_KEY, and at who may read the files.",
            "无法读取 {file}，不能以 HTTPS 提供接口。请检查 GONGFANG_API_TLS_CERT、GONGFANG_API_TLS_KEY 及文件权限。",
        ),
        "api_tls_encrypted": (
            "The API's key {file} is encrypted. Decrypt it: openssl pkey -in {file} -out plain.pem",
            "接口私钥 {file} 已加密，请先解密：openssl pkey -in {file} -out plain.pem",
        ),
        "api_tls_mismatch": (
            "The API's key {key} does not belong to its certificate {file}.",
            "接口私钥 {key} 与证书 {file} 不匹配。",
        ),
        "api_tls_unusable": (
            "The API can't be served with {file} and {key}: {what}. They must be a PEM certificate chain, the leaf first, and "
            "its key.",
            "无法使用 {file} 与 {key} 提供接口：{what}。须为 PEM 证书链（服务器证书在前）及其私钥。",
        ),
    }
)
